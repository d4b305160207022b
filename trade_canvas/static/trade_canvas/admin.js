// Names the cells of a list after their columns: a narrow screen shows each row as a list of its own.
"use strict";

const table = document.getElementById("result_list");

if (table?.tHead) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, index) => {
      cell.dataset.label = names[index] ?? "";
    });
  }
  table.classList.add("stacked");
}
