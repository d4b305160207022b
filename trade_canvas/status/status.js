// Refreshes the tables of the status page every two seconds.
"use strict";

const INTERVAL_MS = 2000;
const TIMEOUT_MS = 10000;
const tables = document.getElementById("status-tables");
const silence = document.getElementById("status-silence");

// Rows are told apart by their keys, all else by its place.
const keyOf = (node, index) => node.id || node.dataset?.key || `${node.nodeName} ${index}`;

// Makes an element like another one, part by part. What stays keeps the focus and a press on it,
// and details stay open.
function adopt(old, like) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== like.data) old.data = like.data;
    return;
  }
  for (const name of old.getAttributeNames()) {
    if (name !== "open" && !like.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of like.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const held = new Map([...old.childNodes].map((child, index) => [keyOf(child, index), child]));
  const children = [...like.childNodes].map((child, index) => {
    const key = keyOf(child, index);
    const there = held.get(key);
    if (there?.nodeName !== child.nodeName) return child;
    held.delete(key);
    adopt(there, child);
    return there;
  });
  for (const left of held.values()) left.remove();
  children.forEach((child, index) => {
    if (old.childNodes[index] !== child) old.insertBefore(child, old.childNodes[index] ?? null);
  });
}

async function refresh() {
  try {
    const answer = await fetch("?part=tables", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.redirected) {
      // The session has ended: reload to reach the log-in page.
      window.location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const like = tables.cloneNode();
    like.innerHTML = await answer.text();
    adopt(tables, like);
    silence.hidden = true;
  } catch {
    silence.hidden = false;
  }
  setTimeout(refresh, INTERVAL_MS);
}

setTimeout(refresh, INTERVAL_MS);
