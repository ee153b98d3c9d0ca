let forms = 0;

function render({ model, el }) {
  forms += 1;
  const prefix = `kit-form-${forms}-${Math.random().toString(36).slice(2, 8)}`;
  const title = make("b"), hint = make("span", { class: "soft" });
  const onceBox = make("input", { type: "checkbox" });
  const once = make("label", { class: "once", title: "apply every change by itself, without the Apply button" }, onceBox, " at once");
  const main = make("div", { class: "fields" }), more = make("div", { class: "fields" });
  const summary = make("summary");
  const details = make("details", {}, summary, more);
  const apply = make("button", { type: "submit", class: "apply", disabled: true }, "Apply");
  const revert = make("button", { type: "button", disabled: true }, "Revert");
  const said = make("span", { class: "said", role: "status", "aria-live": "polite" });
  const chosen = make("select", { "aria-label": "preset to load" });
  const load = make("button", { type: "button", title: "fill the form with the preset; Apply applies it" }, "Load");
  const saveName = make("input", {
    type: "text", class: "preset-name", placeholder: "new preset", maxlength: "80", spellcheck: "false", "aria-label": "name to save the form's values under",
  });
  const save = make("button", { type: "button", title: "keep what the form shows as a preset" }, "Save as");
  const presets = make("div", { class: "presets", role: "group", "aria-label": "presets" }, chosen, load, saveName, save);
  const form = make("form", { novalidate: true, autocomplete: "off" }, main, details,
    make("div", { class: "foot" }, apply, revert, once, said), presets);
  const root = make("div", { class: "kit kit-controls", "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "head" }, title, hint), form);
  el.append(root);
  const rows = new Map();
  let built = "", values = {}, listed = "", replace = "";

  // -- one parameter -------------------------------------------------------------------------------------------------

  function entry(field, id) {
    if (field.input === "choice") {
      const off = field.optional ? [make("option", { value: "" }, "off")] : [];
      return make("select", { id }, ...off, ...field.choices.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
    }
    if (field.input === "toggle") return make("input", { id, type: "checkbox" });
    const numeric = field.input === "number";
    return make("input", {
      id, type: "text", spellcheck: "false", inputmode: numeric ? "decimal" : null, class: numeric ? "number" : "wide",
      placeholder: field.optional ? "off" : null, readonly: field.input === "fixed",
    });
  }

  function build(field) {
    const id = `${prefix}-${field.name}`;
    const input = entry(field, id);
    const tip = [field.doc, field.allowed].filter(Boolean).join("\n");
    const label = make("label", { for: id, title: tip }, field.label);
    const slider = field.input === "number" ? make("input", { type: "range", "aria-label": `${field.label}, slider`, title: tip }) : null;
    const unit = make("span", { class: "unit soft" }, field.unit);
    const plain = field.default === null ? "" : field.default === "" ? "off" : `${field.default}${field.unit ? ` ${field.unit}` : ""}`;
    const reset = make("button", {
      type: "button", class: "reset", title: `reset to ${plain}`, "aria-label": `reset ${field.label} to ${plain}`,
    }, "↺");
    const note = make("div", { class: "note", id: `${id}-note` });
    const help = make("span", { class: "sr", id: `${id}-help` }, tip);
    input.title = tip;
    input.setAttribute("aria-describedby", `${id}-note ${id}-help`);
    const element = make("div", { class: `field ${field.input}`, "data-name": field.name },
      label, make("span", { class: "slide" }, ...(slider ? [slider] : [])), make("span", { class: "value" }, input, unit), reset, note, help);
    const row = { field, element, input, slider, reset, note, dirty: false, error: "", pending: null };
    input.addEventListener("input", () => { if (slider) follow(row); touch(row); });
    input.addEventListener("change", () => onceBox.checked && submit());
    slider?.addEventListener("input", () => { write(row, tidy(slider)); touch(row); });
    slider?.addEventListener("change", () => onceBox.checked && submit());
    slider?.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (!steps) return;
      event.preventDefault(); // in JupyterLab nothing would happen by itself
      if (steps > 0) slider.stepUp(steps); else slider.stepDown(-steps);
      slider.dispatchEvent(new Event("input"));
      slider.dispatchEvent(new Event("change"));
    });
    reset.addEventListener("click", () => {
      write(row, field.default);
      if (slider) follow(row);
      touch(row);
      if (onceBox.checked) submit();
    });
    rows.set(field.name, row);
    return element;
  }

  const read = (row) => row.field.input === "toggle" ? String(row.input.checked) : row.input.value;

  function write(row, text) {
    if (row.field.input === "toggle") row.input.checked = text === "true";
    else if (row.input.value !== text) row.input.value = text;
  }

  function follow(row) {
    const number = Number(row.input.value);
    if (row.input.value.trim() !== "" && Number.isFinite(number)) row.slider.value = String(number);
  }

  function tidy(slider) {
    const decimals = (slider.step.split("e-")[1] ?? slider.step.split(".")[1]?.length ?? 0);
    return String(Number(Number(slider.value).toFixed(Number(decimals))));
  }

  function touch(row) {
    row.dirty = read(row) !== values[row.field.name];
    row.error = "";
    dress(row);
    foot();
  }

  function dress(row) {
    const { field } = row;
    row.element.classList.toggle("dirty", row.dirty);
    row.element.classList.toggle("bad", row.error !== "");
    row.element.classList.toggle("waits", row.pending !== null);
    row.input.setAttribute("aria-invalid", String(row.error !== ""));
    const shown = (text) => text === "" ? "off" : `${text}${field.unit ? ` ${field.unit}` : ""}`;
    let text = row.error;
    if (!text && row.pending !== null) text = `${shown(row.pending)} on the next tick`;
    else if (!text && row.dirty) text = `applied now: ${shown(values[field.name])}`;
    setText(row.note, text);
    row.note.hidden = !text;
    row.reset.classList.toggle("idle", field.default === null || field.input === "fixed" || read(row) === field.default);
    row.reset.tabIndex = row.reset.classList.contains("idle") ? -1 : 0;
  }

  // -- the whole set -------------------------------------------------------------------------------------------------

  const dirty = () => [...rows.values()].filter((row) => row.dirty);

  function foot() {
    const count = dirty().length;
    apply.disabled = revert.disabled = count === 0;
    setText(apply, count > 1 ? `Apply ${count} changes` : "Apply");
  }

  function tellAbout(answer) {
    said.classList.toggle("bad", !answer.ok);
    setText(said, answer.text);
  }

  const entered = (changed) => Object.fromEntries(changed.map((row) => [row.field.name, read(row)]));

  async function submit() {
    const changed = dirty();
    if (!changed.length) return;
    setText(said, "");
    const sent = entered(changed);
    const answer = await view.command({ do: "apply", values: sent });
    tellAbout(answer);
    for (const row of changed) {
      const { name } = row.field;
      row.error = answer.errors?.[name] ?? "";
      if (answer.ok && read(row) === sent[name]) { row.dirty = false; row.sent = sent[name]; }
      dress(row);
    }
    blame(answer);
    foot();
  }

  function blame(answer) {
    // A rule of several parameters may name one that was not touched.
    for (const [name, text] of Object.entries(answer.errors ?? {})) {
      const row = rows.get(name);
      if (!row) continue;
      row.error = text;
      dress(row);
      if (more.contains(row.element)) details.open = true;
    }
    if (!answer.ok) root.querySelector(".field.bad input, .field.bad select")?.focus();
  }

  // -- presets -------------------------------------------------------------------------------------------------------

  async function fill() {
    if (!chosen.value) return;
    const answer = await view.command({ do: "load", name: chosen.value });
    tellAbout(answer);
    if (!answer.ok) return;
    saveName.value = chosen.value;
    for (const [name, text] of Object.entries(answer.values)) {
      const row = rows.get(name);
      if (!row) continue;
      write(row, text);
      if (row.slider) follow(row);
      touch(row);
      if (row.dirty && more.contains(row.element)) details.open = true;
    }
    if (onceBox.checked) submit();
    else if (dirty().length) apply.focus();
  }

  async function keep() {
    const name = saveName.value.trim();
    if (!name) { saveName.focus(); return; }
    const changed = dirty();
    const answer = await view.command({ do: "save", name, values: entered(changed), replace: replace === name });
    tellAbout(answer);
    replace = answer.exists ? name : "";
    setText(save, replace ? "Replace" : "Save as");
    for (const row of changed) { row.error = answer.errors?.[row.field.name] ?? ""; dress(row); }
    blame(answer);
  }

  function list(names) {
    presets.hidden = !names;
    if (!names || JSON.stringify(names) === listed) return;
    listed = JSON.stringify(names);
    const before = chosen.value;
    const first = make("option", { value: "" }, names.length ? "preset…" : "no presets");
    chosen.replaceChildren(first, ...names.map((name) => make("option", { value: name }, name)));
    chosen.value = names.includes(before) ? before : "";
    load.disabled = !chosen.value;
  }

  chosen.addEventListener("change", () => { load.disabled = !chosen.value; });
  load.addEventListener("click", fill);
  save.addEventListener("click", keep);
  saveName.addEventListener("input", () => { replace = ""; setText(save, "Save as"); });

  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  // JupyterLab swallows the submission that Enter would cause by itself.
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input:not([type=checkbox])")) return;
    event.preventDefault();
    if (event.target === saveName) keep(); else submit();
  });
  onceBox.addEventListener("change", () => { root.classList.toggle("at-once", onceBox.checked); if (onceBox.checked) submit(); });
  revert.addEventListener("click", () => {
    for (const row of rows.values()) { row.dirty = false; row.error = ""; settle(row); }
    setText(said, "");
    foot();
  });

  function settle(row) {
    const { name } = row.field;
    if (!row.dirty) {
      write(row, row.pending ?? values[name]);
      if (row.slider) follow(row);
    }
    dress(row);
  }

  function scale(row, range) {
    if (!row.slider) return;
    row.slider.hidden = !range;
    if (!range || row.slider.matches(":active")) return;
    for (const [name, value] of Object.entries(range)) if (row.slider.getAttribute(name) !== String(value)) row.slider.setAttribute(name, value);
  }

  const view = connect(model, root, {
    merge: (before, frame) => frame.full ? frame : { ...before, ...frame },
    paint(frame) {
      const description = JSON.stringify(frame.fields);
      if (description !== built) {
        built = description;
        rows.clear();
        main.replaceChildren(...frame.fields.filter((field) => field.main).map(build));
        more.replaceChildren(...frame.fields.filter((field) => !field.main).map(build));
        const count = frame.fields.filter((field) => !field.main).length;
        details.hidden = count === 0;
        setText(summary, `${count} more parameter${count === 1 ? "" : "s"}`);
      }
      values = frame.values;
      list(frame.presets);
      setText(title, frame.title);
      form.setAttribute("aria-label", `parameters of ${frame.title}`);
      for (const [name, row] of rows) {
        row.pending = frame.pending[name] ?? null;
        if (row.dirty && read(row) === values[name]) row.dirty = false;
        scale(row, frame.sliders[name]);
        settle(row);
      }
      if (said.textContent.startsWith("applies on") && !Object.keys(frame.pending).length) setText(said, "applied");
      foot();
    },
  });
  return view.close;
}

export default { render };
