// A voice goes in, a face comes out. Python hears and measures; here it is shown.

const SHOWN = { face: "Faces", distance: "Distance from the mean face", error: "Expected error" };

/** Waveform above log-mel, with axes, as wide as its place. */
function drawHeard(canvas, utterance, start, dark) {
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth || 260, height = 132;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const paper = canvas.getContext("2d");
  paper.scale(ratio, ratio);
  const ink = dark ? "#b6bfcc" : "#4a5568", left = 26, wide = width - left - 4;
  paper.font = "10px system-ui, sans-serif";
  const wave = typed(utterance.wave, Int8Array), spoken = typed(utterance.spoken, Uint8Array);
  const slots = spoken.length, middle = 24;
  for (let k = 0; k < slots; k++) {
    paper.fillStyle = spoken[k] ? (dark ? "#6db7e8" : "#0072b2") : (dark ? "#5c6674" : "#aab2be");
    const top = middle - 22 * wave[slots + k] / 127, bottom = middle - 22 * wave[k] / 127;
    paper.fillRect(left + wide * k / slots, top, Math.max(wide / slots, 0.7), Math.max(bottom - top, 0.7));
  }
  paper.fillStyle = ink;
  paper.textAlign = "right";
  paper.fillText(`${utterance.duration_s.toFixed(1)} s`, width - 4, 57);
  paper.textAlign = "left";
  paper.fillText("0", left, 57);
  const mel = typed(utterance.mel, Uint8Array), columns = utterance.mel_columns, bands = mel.length / columns;
  start.melMap ??= { stops: start.mel_stops, low: 0, high: 1 };
  const table = paletteOf(start.melMap);
  const size = table.length / 3 - 2;  // the last entry is for what is not a number
  const image = new ImageData(columns, bands);
  for (let k = 0; k < columns; k++) for (let b = 0; b < bands; b++) {
    const from = 3 * Math.round(mel[k * bands + b] / 255 * size), to = 4 * ((bands - 1 - b) * columns + k);
    image.data.set([table[from], table[from + 1], table[from + 2], 255], to);
  }
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: bands });
  small.getContext("2d").putImageData(image, 0, 0);
  paper.drawImage(small, left, 62, wide, 56);
  paper.textAlign = "right";
  for (const [place, label] of start.mel_ticks) paper.fillText(label, left - 3, 62 + 56 * (1 - place) + 3);
  paper.fillText(`${utterance.speech_s.toFixed(1)} s of speech`, width - 4, 129);
  paper.textAlign = "left";
  paper.fillText("kHz", 0, 57);
}

/** A line's interval beside the mean face, as a small picture; the numbers stand in the cells. */
function interval(row, reach) {
  const at = (value) => 70 + 66 * Math.max(-1, Math.min(1, (value - row.mean_face_mm) / reach));
  const svg = (tag, attributes) => {
    const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    return one;
  };
  const box = svg("svg", { width: 140, height: 16, viewBox: "0 0 140 16", "aria-hidden": "true" });
  box.append(svg("line", { x1: 70, x2: 70, y1: 1, y2: 15, class: "v2m-voice-mean" }));
  if (row.ci_low != null) box.append(svg("line", { x1: at(row.ci_low), x2: at(row.ci_high), y1: 8, y2: 8, class: "v2m-voice-interval" }));
  box.append(svg("circle", { cx: at(row.predicted_mm), cy: 8, r: 3.5, class: "v2m-voice-dot" }));
  return box;
}

function linesTable(rows, name) {
  const known = rows.some((row) => row.ci_low != null);
  const reach = Math.ceil(Math.max(...rows.flatMap((r) => [r.ci_low ?? r.predicted_mm, r.ci_high ?? r.predicted_mm].map((v) => Math.abs(v - r.mean_face_mm)))));
  const cell = (text, tag = "td") => make(tag, tag === "th" ? { scope: "col" } : {}, text);
  const heads = ["Line", "Predicted (mm)", ...(known ? ["95 % interval (mm)"] : []), "Mean face (mm)", `−${reach} … mean … +${reach} mm`, "Ratio", "Mean face's ratio"];
  const body = rows.map((row) => {
    const cells = [cell(row.predicted_mm.toFixed(1))];
    if (known) cells.push(cell(`${row.ci_low.toFixed(1)} to ${row.ci_high.toFixed(1)}`));
    cells.push(cell(row.mean_face_mm.toFixed(1)), make("td", {}, interval(row, reach)), cell(row.ratio.toFixed(3)), cell(row.mean_face_ratio.toFixed(3)));
    return make("tr", {}, make("th", { scope: "row" }, row.line.replaceAll("_", " ")), ...cells);
  });
  return make("table", {}, make("caption", {}, `Lines of ${name}; a ratio is the line over the outer interocular distance`),
    make("thead", {}, make("tr", {}, ...heads.map((text) => cell(text, "th")))), make("tbody", {}, ...body));
}

/** Buttons, drop place, microphone and what they say. */
function intake(model, memory, ask, root) {
  const state = make("span", { class: "v2m-voice-state", role: "status" });
  const meter = make("meter", { min: 0, max: 1, low: 0.02, high: 0.95, optimum: 0.4, "aria-label": "loudness", hidden: true });
  const files = make("input", { type: "file", multiple: true, accept: "audio/*,.wav,.flac,.ogg,.opus,.mp3,.aiff", "aria-label": "recordings", hidden: true,
    onchange: () => { send([...files.files]); files.value = ""; } });
  const choose = button("Choose recordings…", "Choose recordings from this computer", () => free(choose) && files.click());
  const talk = button("● Record", "Record from the microphone", () => free(talk) && (live ? finish() : begin()), false);
  // Not the attribute "disabled", which would take the focus away from who uses the keyboard.
  const free = (one) => one.getAttribute("aria-disabled") !== "true";
  const hold = (...held) => [choose, talk].forEach((one) => one.setAttribute("aria-disabled", String(held.includes(one))));
  let live = null, timer = 0, busy = false, number = 0;
  const say = (text) => { model.set("message", [model.get("message"), text].filter(Boolean).join("\n")); model.save_changes(); };

  async function send(list) {
    if (busy || !list.length) return;
    busy = true;
    hold(choose, talk);
    model.send({ kind: "new batch" });
    try {
      for (const [k, file] of list.entries()) {
        const which = list.length > 1 ? ` (${k + 1} of ${list.length})` : "";
        state.textContent = `Sending ${file.name}${which} …`;
        const large = file.size > memory.start.limits.max_mb * 1e6;
        // A file that is too large is announced, so that Python refuses it in its own words, and not read.
        const bytes = large ? { byteLength: file.size, slice: () => new ArrayBuffer(0) } : await file.arrayBuffer();
        await upload(ask, file.name, bytes, memory.start.limits.chunk, (share) => {
          state.textContent = share < 1 ? `Sending ${file.name}${which}: ${Math.round(100 * share)} %` : `Listening to ${file.name}${which} …`;
        });
      }
    } catch (error) {
      say(error.message);
    }
    state.textContent = "";
    busy = false;
    hold();
  }

  async function begin() {
    model.set("message", "");
    const problem = microphoneProblem();
    if (problem) return say(problem);
    hold(choose, talk);
    state.textContent = "Asking for the microphone …";
    try {
      live = await record(() => live && finish());
    } catch (error) {
      say(microphoneRefusal(error));
      state.textContent = "";
    }
    hold(...(live ? [choose] : []));
    if (!live) return;
    talk.textContent = "■ Stop";
    talk.setAttribute("aria-pressed", "true");
    meter.hidden = false;
    timer = setInterval(() => {
      meter.value = live.level();
      state.textContent = `Recording ${live.seconds().toFixed(0)} s (at most ${LONGEST_S} s); speak for three seconds or more`;
    }, 100);
  }

  function finish() {
    const { samples, rate } = live.stop();
    quiet();
    const name = `recording ${(number += 1)}.wav`;
    send([new File([wav(samples, rate)], name, { type: "audio/wav" })]);
  }
  function quiet() {
    clearInterval(timer);
    live = null;
    meter.hidden = true;
    state.textContent = "";
    hold();
    talk.textContent = "● Record";
    talk.setAttribute("aria-pressed", "false");
  }

  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  root.addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); event.stopPropagation(); root.classList.add("v2m-voice-over"); } });
  root.addEventListener("dragleave", (event) => { if (!root.contains(event.relatedTarget)) root.classList.remove("v2m-voice-over"); });
  root.addEventListener("drop", (event) => {
    root.classList.remove("v2m-voice-over");
    if (!carries(event)) return;
    event.preventDefault();
    event.stopPropagation();  // JupyterLab would open the file
    send([...event.dataTransfer.files]);
  });
  const hint = make("span", { class: "v2m-voice-hint" }, "or drop recordings here");
  const bar = make("div", { class: "v2m-tools v2m-voice-in", role: "toolbar", "aria-label": "Recordings" }, choose, talk, files, meter, hint, state);
  return { bar, close: () => { if (live) { live.stop(); quiet(); } } };
}

/** Open one view; answers are shared by all views of a widget. */
export function openVoiceToFace(model, el, memory) {
  const { start } = memory;
  const ask = memory.ask ??= questions(model);
  const root = make("div", { class: "v2m v2m-voice", role: "group", tabindex: -1, "aria-label": "Voice to face", "data-lm-suppress-shortcuts": "true" });
  const entry = intake(model, memory, ask, root);
  const alert = make("div", { class: "v2m-voice-alert", role: "alert" });
  const row = make("div", { class: "v2m-row" });
  const measured = make("div", { class: "v2m-voice-lines" });
  const camera = new Camera();
  const mean = new Mesh({ ...start.common, ...start.mean });
  const tell = (name, value) => { model.set(name, value); model.save_changes(); };
  const views = Object.entries(SHOWN).filter(([kind]) => kind !== "error" || start.knows_error).map(([kind, label]) => {
    const one = button(label, `Show: ${label.toLowerCase()}`, () => tell("shown", kind), false);
    one.dataset.shown = kind;
    return one;
  });
  const clear = button("Remove all", "Remove all recordings", () => model.send({ kind: "clear" }));
  const tools = make("div", { class: "v2m-tools", role: "toolbar", "aria-label": "What is shown" }, ...views, clear);
  const duty = make("div", { class: "v2m-voice-duty", role: "note" }, ...start.disclaimers.map((text) => make("p", {}, text)));
  root.append(make("div", { class: "v2m-title" }, "Voice to face"), entry.bar, alert, tools, row, measured, duty);
  el.append(root);
  let panels = [], redraws = [];

  const scalars = (kind, top) => ({ low: 0, high: top, stops: start.stops, unit: "mm",
    name: kind === "error" ? "expected error" : "from the mean face", live: false, values: null });
  function column(name, title, mesh, map, caption, utterance) {
    const cell = make("div", { class: "v2m-cell" });
    const heard = make("div", { class: "v2m-voice-heard" });
    if (utterance) {
      const canvas = make("canvas", { class: "v2m-voice-plot", role: "img", tabindex: -1,
        "aria-label": `${name}: waveform of ${utterance.duration_s.toFixed(1)} s and log-mel of ${utterance.speech_s.toFixed(1)} s of speech` });
      heard.append(canvas);
      redraws.push(() => drawHeard(canvas, utterance, start, root.dataset.theme === "dark"));
    } else heard.append(make("p", {}, { "mean face": "The same for everybody: what one would say without listening.", average: `Average of ${memory.order.names.length} recordings: of use where they are of one voice.` }[name] || ""));
    const head = make("div", { class: "v2m-voice-head" });
    if (title) {
      const isFace = name !== "mean face";
      head.append(isFace ? button(title, `Measure ${name}`, () => tell("selected", name), name === model.get("selected")) : make("strong", {}, title));
      if (utterance) head.append(button("×", `Remove ${name}`, () => model.send({ kind: "remove", name })));
    }
    cell.append(head, heard);
    row.append(cell);
    const one = panel(cell, mesh, { title: "", caption, camera, tools: panels.length === 0, height: model.get("height"), theme: model.get("theme"), settings: { scalars: map },
      onsetting: (setting, value) => panels.slice(1).forEach((other) => other.change?.(setting, value)), ontheme: (chosen) => tell("theme", chosen) });
    one.view?.canvas.setAttribute("aria-label", `${title || name}, ${map ? map.name : "face"}: drag or arrow keys turn all faces, plus and minus zoom, 1 2 3 choose a view, 0 resets`);
    panels.push(one);
  }

  function show() {
    const { order } = memory, shown = model.get("shown");
    const focused = row.contains(document.activeElement);
    panels.forEach((one) => one.close());
    panels = [];
    redraws = [];
    row.replaceChildren();
    if (focused) root.focus({ preventScroll: true });
    const empty = !order.names.length;
    tools.hidden = empty;
    column("mean face", "Mean face", mean, null, "", null);
    if (empty) {
      row.append(make("div", { class: "v2m-voice-place" },
        make("p", {}, "Choose, record or drop a few seconds of one voice (wav, flac, ogg, mp3)."),
        make("p", {}, "The face that the model predicts will stand here, beside the mean face.")));
    }
    row.classList.toggle("v2m-voice-empty", empty);
    const faces = order.names.map((name) => [name, memory.utterances.get(name)]).map(([name, u]) => [name, u.face, u]);
    if (order.average) faces.unshift(["average", order.average, null]);
    for (const [name, face, utterance] of faces) {
      const mesh = new Mesh({ ...start.common, ...face });
      const distance = mesh.values;
      const wrong = shown === "error" && face.expected;
      if (wrong) mesh.values = typed(face.expected, Float32Array);
      const map = wrong ? scalars("error", face.expected_top) : shown === "distance" ? scalars("distance", order.top) : null;
      const caption = wrong ? face.expected_summary : face.summary;
      column(name, utterance ? name : "Average", mesh, map, caption, utterance);
      if (faces.length === 1 && shown === "face") {
        const coloured = new Mesh({ ...start.common, ...face });
        coloured.values = distance;
        column("", "", coloured, scalars("distance", order.top), "the same face, coloured by its distance", null);
      }
    }
    dress();
    choose();
  }
  function choose() {
    const name = model.get("selected");
    const face = name === "average" ? memory.order.average : memory.utterances.get(name)?.face;
    for (const one of row.querySelectorAll(".v2m-voice-head [aria-pressed]")) one.setAttribute("aria-pressed", String(one.getAttribute("aria-label") === `Measure ${name}`));
    for (const one of views) one.setAttribute("aria-pressed", String(one.dataset.shown === model.get("shown")));
    measured.replaceChildren(...(face ? [make("div", { class: "v2m-voice-scroll", tabindex: 0, role: "region", "aria-label": "Measured lines" }, linesTable(face.lines, name)), make("p", {}, start.uncertainty)] : []));
  }
  function complain() {
    alert.replaceChildren(...model.get("message").split("\n").filter(Boolean).map((line) => make("p", {}, line)));
  }
  function dress() {
    const theme = model.get("theme");
    root.dataset.theme = theme === "auto" ? pageTheme() : theme;
    panels.forEach((one) => one.setTheme?.(theme));
    redraws.forEach((act) => act());
  }
  const listeners = [["change:shown", show], ["change:selected", choose], ["change:message", complain], ["change:theme", dress]];
  for (const [name, act] of listeners) model.on(name, act);
  memory.changed.add(show);
  const watcher = new MutationObserver(dress);
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", dress);
  const sizes = new ResizeObserver(() => redraws.forEach((act) => act()));
  sizes.observe(row);
  show();
  complain();
  return () => {
    entry.close();
    sizes.disconnect();
    watcher.disconnect();
    preference.removeEventListener("change", dress);
    memory.changed.delete(show);
    for (const [name, act] of listeners) model.off(name, act);
    panels.forEach((one) => one.close());
    root.remove();
  };
}
