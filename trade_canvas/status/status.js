// Refreshes the tables of the status page every two seconds.
"use strict";

const INTERVAL_MS = 2000;
const TIMEOUT_MS = 10000;
const tables = document.getElementById("status-tables");
const silence = document.getElementById("status-silence");

async function refresh() {
  try {
    const answer = await fetch("?part=tables", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.redirected) {
      // The session has ended: reload to reach the log-in page.
      window.location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    tables.innerHTML = await answer.text();
    silence.hidden = true;
  } catch {
    silence.hidden = false;
  }
  setTimeout(refresh, INTERVAL_MS);
}

setTimeout(refresh, INTERVAL_MS);
