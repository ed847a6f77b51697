// The table of claims: which rows are shown, by group, by verdict and by words that stand in them.

startEach("lenet-claims-table", (root) => {
  const find = (selector) => root.querySelector(selector);
  const rows = [...root.querySelectorAll("tbody tr")], texts = rows.map((row) => row.textContent.toLowerCase());
  const [group, verdict, words, said] = [".group", ".verdict", ".words", ".said"].map(find);

  /** How many rows have each value of a property, in the order in which the values come up. */
  function tally(some, property) {
    const counts = new Map();
    for (const row of some) counts.set(row.dataset[property], (counts.get(row.dataset[property]) ?? 0) + 1);
    return [...counts];
  }

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [i, row] of rows.entries())
      row.hidden = Boolean((group.value && row.dataset.group !== group.value) ||
        (verdict.value && row.dataset.verdict !== verdict.value) || !wanted.every((word) => texts[i].includes(word)));
    const shown = rows.filter((row) => !row.hidden);
    const parts = tally(shown, "verdict").map(([name, count]) => `${name}: ${count}`);
    said.textContent = shown.length ? `${shown.length} of ${rows.length} claims are shown (${parts.join(", ")}).`
      : "No claim is like this: choose another group or verdict, or fewer words.";
    find("table").hidden = !shown.length;
  }

  for (const [select, property] of [[group, "group"], [verdict, "verdict"]])
    for (const [value, count] of tally(rows, property))
      select.append(make("option", { value, textContent: `${value} (${count})` }));
  root.addEventListener("input", show);
  find(".all").addEventListener("click", () => {
    for (const field of [group, verdict, words]) field.value = "";
    show();
  });
  find(".filter").hidden = false;
  show();
});
