// Renews the tables of the health page every two seconds.
"use strict";

const INTERVAL_MS = 2000;
const TIMEOUT_MS = 10000;
const tables = document.getElementById("status-tables");
const silence = document.getElementById("status-silence");

async function renew() {
  try {
    const answer = await fetch("?part=tables", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.redirected) {
      // The session is over: let the browser show where to log in.
      window.location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    tables.innerHTML = await answer.text();
    silence.hidden = true;
  } catch {
    silence.hidden = false;
  }
  setTimeout(renew, INTERVAL_MS);
}

setTimeout(renew, INTERVAL_MS);
