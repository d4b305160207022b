// Refreshes the tables of the status page every two seconds.
"use strict";

const INTERVAL_MS = 2000;
const TIMEOUT_MS = 10000;
const tables = document.getElementById("status-tables");
const silence = document.getElementById("status-silence");

const keyOf = (details) => details.dataset.key;

async function refresh() {
  try {
    const answer = await fetch("?part=tables", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.redirected) {
      // The session has ended: reload to reach the log-in page.
      window.location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const open = new Set([...tables.querySelectorAll("details[open]")].map(keyOf));
    tables.innerHTML = await answer.text();
    for (const each of tables.querySelectorAll("details")) each.open = open.has(keyOf(each));
    silence.hidden = true;
  } catch {
    silence.hidden = false;
  }
  setTimeout(refresh, INTERVAL_MS);
}

setTimeout(refresh, INTERVAL_MS);
