const LOG_KEPT = 600, LOG_LEVELS = { debug: 10, info: 20, warning: 30, error: 40 };

function render({ model, el }) {
  const title = make("b", {}, "Log"), counts = make("span", { class: "soft" });
  const level = make("select", { class: "level", "aria-label": "least level shown", title: "least level shown" },
    ...Object.keys(LOG_LEVELS).map((name) => make("option", { value: name }, name)));
  const clear = make("button", { type: "button", title: "forget the errors that were seen" }, "clear errors");
  const errors = make("div", { class: "errors", role: "region", "aria-label": "errors" });
  const list = make("ol", { class: "lines", role: "log", tabindex: "0", "aria-label": "log lines, newest last", "aria-live": "off" });
  const below = make("button", { type: "button", class: "below", hidden: true }, "newest ↓");
  const none = make("div", { class: "soft none" }, "nothing logged at this level");
  const root = make("div", { class: "kit kit-log", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, title, counts, clear, level), errors, make("div", { class: "frame" }, list, below), none);
  el.append(root);
  const lines = new Map(); // by what they say: a line that comes again moves to the end
  let chosen = null, shownErrors = "";

  const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 12;
  const toEnd = () => { list.scrollTop = list.scrollHeight; };
  const least = () => LOG_LEVELS[level.value];

  function line([, time, number, name, source, text, count]) {
    const [first, ...rest] = text.split("\n");
    const said = make("span", { class: "text" }, first);
    const element = make("li", { class: name, "data-level": number },
      make("time", { class: "soft" }, clockText(time)), make("span", { class: "level" }, name),
      make("span", { class: "source soft", title: source }, source.replace(/^kit\./, "")), said);
    if (count > 1) said.append(make("span", { class: "times" }, `${count} times`));
    if (rest.length) said.append(make("details", {}, make("summary", {}, `${rest.length} more lines`), make("pre", {}, rest.join("\n"))));
    element.hidden = number < least();
    return element;
  }

  function add(entry) {
    const key = `${entry[2]}\n${entry[4]}\n${entry[5]}`;
    if (entry[6] > 1) { lines.get(key)?.remove(); }
    lines.delete(key);
    const element = line(entry);
    lines.set(key, element);
    list.append(element);
    while (lines.size > LOG_KEPT) {
      const [oldest] = lines.keys();
      lines.get(oldest).remove();
      lines.delete(oldest);
    }
  }

  function fault([where, kind, text, count, first, last, traceback]) {
    const when = count > 1 ? `${count} times, ${clockText(first)} to ${clockText(last)}` : clockText(last);
    const head = make("summary", {}, make("b", {}, kind), ` in ${where}: ${text.split("\n")[0]} `, make("span", { class: "times" }, when));
    return make("details", { "data-error": `${where} ${kind}` }, head, make("pre", { tabindex: "0" }, traceback || text));
  }

  function showErrors(found) {
    const key = JSON.stringify(found);
    if (key === shownErrors) return;
    shownErrors = key;
    const open = new Set([...errors.querySelectorAll("details[open]")].map((each) => each.dataset.error));
    errors.replaceChildren(...found.map(fault));
    for (const each of errors.children) each.open = open.has(each.dataset.error);
    errors.hidden = found.length === 0;
    clear.hidden = found.length === 0;
  }

  function filter() {
    for (const element of list.children) element.hidden = Number(element.dataset.level) < least();
    tell();
    toEnd();
  }

  function tell() {
    const shown = [...list.children].filter((element) => !element.hidden).length;
    none.hidden = shown > 0;
    list.hidden = shown === 0;
    const wrong = errors.children.length;
    setText(counts, [wrong ? `${wrong} error${wrong === 1 ? "" : "s"}` : "", `${shown} line${shown === 1 ? "" : "s"}`].filter(Boolean).join(" · "));
    counts.classList.toggle("bad", wrong > 0);
    below.hidden = atEnd();
  }

  const view = connect(model, root, {
    // Frames between two paints must all take effect, so entries are gathered until the next one.
    merge: (before, frame) => frame.full ? { ...frame, all: true } : { ...frame, all: before.all, entries: [...before.entries, ...frame.entries] },
    paint(frame) {
      if (chosen === null) { chosen = frame.level; level.value = frame.level; }
      const follow = frame.all || atEnd();
      if (frame.all) { lines.clear(); list.replaceChildren(); }
      for (const entry of frame.entries) add(entry);
      frame.entries = [];
      frame.all = false;
      showErrors(frame.errors);
      tell();
      if (follow) { toEnd(); below.hidden = true; }
    },
  });
  level.addEventListener("change", filter);
  list.addEventListener("scroll", () => { below.hidden = atEnd(); }, { passive: true });
  below.addEventListener("click", () => { toEnd(); list.focus(); });
  clear.addEventListener("click", () => view.command({ do: "clear errors" }));
  return view.close;
}

export default { render };
