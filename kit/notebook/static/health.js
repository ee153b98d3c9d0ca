const VERDICT_MARKS = { good: "✓", look: "!", bad: "✕", off: "–" };

function render({ model, el }) {
  const title = make("b"), summary = make("span", { class: "soft", role: "status" });
  const body = make("tbody");
  const head = make("thead", { class: "sr" }, make("tr", {}, ...["verdict", "part", "figure"].map((name) => make("th", { scope: "col" }, name))));
  const root = make("div", { class: "kit kit-health", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, title, summary), make("table", { "aria-label": "health" },
      make("colgroup", {}, make("col", { class: "verdicts" }), make("col", { class: "parts" }), make("col")), head, body));
  el.append(root);
  let lines = [];

  function build() {
    const mark = make("span", { class: "mark", "aria-hidden": "true" }), word = make("span", { class: "word" });
    const name = make("th", { scope: "row" }), value = make("span", { class: "value" }), detail = make("div", { class: "detail" });
    const element = make("tr", {}, make("td", { class: "verdict" }, mark, word), name, make("td", {}, value, detail));
    return { element, mark, word, name, value, detail };
  }

  function fill(line, [name, verdict, value, detail]) {
    line.element.dataset.verdict = verdict;
    line.element.title = detail;
    setText(line.mark, VERDICT_MARKS[verdict]);
    setText(line.word, verdict);
    setText(line.name, name);
    setText(line.value, value);
    const told = verdict === "look" || verdict === "bad" ? detail : ""; // what is good needs no words
    setText(line.detail, told);
    line.detail.hidden = !told;
  }

  const view = connect(model, root, {
    merge(before, frame) {
      if (frame.full) return { rows: frame.rows };
      const rows = [...before.rows];
      for (const [index, row] of Object.entries(frame.changed ?? {})) rows[index] = row;
      return { rows: frame.rows ?? rows };
    },
    paint({ rows }) {
      if (lines.length !== rows.length) {
        lines = rows.map(build);
        body.replaceChildren(...lines.map((line) => line.element));
      }
      rows.forEach((row, index) => fill(lines[index], row));
      const count = (verdict) => rows.filter((row) => row[1] === verdict).length;
      const [bad, look] = [count("bad"), count("look")];
      setText(title, bad ? `${bad} bad` : look ? `${look} to look at` : "all good");
      setText(summary, bad && look ? `${look} to look at` : "");
    },
  });
  return view.close;
}

export default { render };
