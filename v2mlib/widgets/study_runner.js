// The browser's side of a preference study. Python keeps the answers; here is only the question.

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Headings, paragraphs and emphasis of the consent text; never HTML of its own. */
function plainText(text) {
  return text.split(/\n\s*\n/).filter((part) => part.trim()).map((part) => {
    const heading = part.match(/^#+\s+(.*)/);
    if (heading) return node("h3", {}, heading[1]);
    const note = part.trim().match(/^\*\(?([^]*?)\)?\*$/);
    return node(note ? "em" : "p", {}, (note ? note[1] : part).replace(/\s+/g, " ").trim());
  });
}

/** A picture of one or more frames; frame(k) turns it. */
function picture(address, frames, label) {
  const image = node("img", { src: address, alt: label, draggable: "false" });
  const frame = node("div", { class: "v2m-study-frame" }, image);
  image.style.width = `${frames * 100}%`;
  image.onload = () => { frame.style.aspectRatio = `${image.naturalWidth / frames} / ${image.naturalHeight}`; };
  return { frame, turn: (share) => {
    const k = Math.round(share * (frames - 1));
    image.style.transform = `translateX(${-100 * k / frames}%)`;
  } };
}

function theme(model) {
  const wanted = model.get("theme");
  if (wanted !== "auto") return wanted;
  const said = document.body.dataset.jpThemeLight;
  if (said) return said === "false" ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function render({ model, el }) {
  let screen = null, chosen = null, waiting = false, addresses = [];
  const title = node("div", { class: "v2m-title" });
  const bar = node("progress", { max: 1, value: 0 });
  const count = node("span", { "aria-live": "polite" });
  const head = node("div", { class: "v2m-study-head" }, bar, count);
  const body = node("div", { class: "v2m-study-body" });
  const alert = node("p", { class: "v2m-study-alert", role: "alert" });
  const foot = node("div", { class: "v2m-study-foot" });
  const root = node("div", { class: "v2m v2m-study", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    role: "group", "aria-label": "preference study", onkeydown: key }, title, head, body, alert, foot);
  root.dataset.theme = theme(model);
  el.append(root);

  const button = (label, act, main = false) =>
    node("button", { type: "button", class: main ? "v2m-study-main" : null, onclick: act }, label);
  const tell = (content) => { if (!waiting) { waiting = true; model.send(content); } };

  function choose(side) {
    if (screen?.stage !== "question" || waiting) return;
    chosen = side;
    for (const option of body.querySelectorAll("[role=radio]"))
      option.setAttribute("aria-checked", String(option.dataset.side === side));
    foot.querySelector(".v2m-study-main").disabled = false;
  }
  function confirm() {
    if (screen?.stage === "question" && chosen) tell({ kind: "choose", side: chosen, number: screen.number });
  }
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inSlider = event.target.type === "range" && event.key.startsWith("Arrow");
    const onButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
    // JupyterLab has keys of its own for all of these.
    if (!["Tab", "Escape"].includes(event.key)) event.stopPropagation();
    if (inSlider || (onButton && event.target.getAttribute("role") !== "radio")) return;
    const acts = screen?.stage === "question" ? {
      ArrowLeft: () => choose("first"), 1: () => choose("first"),
      ArrowRight: () => choose("second"), 2: () => choose("second"),
      Enter: confirm, p: () => tell({ kind: "pause" }),
    } : {};
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  }

  function question(buffers) {
    const turns = [];
    const panels = screen.panels.map((panel, index) => {
      const side = ["", "first", "second"][index];
      const shown = panel.pictures.map(({ buffer, frames }) => {
        const address = URL.createObjectURL(new Blob([buffers[buffer]], { type: "image/jpeg" }));
        addresses.push(address);
        const made = picture(address, frames, index ? `face ${panel.heading}` : "reference face");
        if (frames > 1) turns.push(made.turn);
        return made.frame;
      });
      const inner = [node("strong", {}, panel.heading), ...shown];
      return side
        ? node("button", { type: "button", class: "v2m-study-face", role: "radio", "aria-checked": "false",
            "aria-label": `face ${panel.heading}`, "data-side": side, onclick: () => choose(side),
            ondblclick: () => { choose(side); confirm(); } }, ...inner)
        : node("div", { class: "v2m-study-face v2m-study-reference" }, ...inner);
    });
    body.replaceChildren(node("div", { class: "v2m-study-section" }, screen.section),
      node("div", { class: "v2m-study-faces" }, ...panels));
    if (turns.length) {
      const act = () => { for (const turn of turns) turn(slider.value / 100); };
      const slider = node("input", { type: "range", min: 0, max: 100, step: 1, value: 50,
        "aria-label": "turn all faces", oninput: act });
      body.append(node("label", { class: "v2m-study-turn" }, node("span", {}, "Turn"), slider));
      act();
    }
    const next = button("Next (Enter)", confirm, true);
    next.disabled = true;
    foot.replaceChildren(node("span", {}, "← or 1, → or 2, then Enter"),
      button("Pause (P)", () => tell({ kind: "pause" })), next);
  }

  function show(content, buffers) {
    const before = screen;
    screen = content;
    chosen = null;
    waiting = false;
    for (const address of addresses) URL.revokeObjectURL(address);
    addresses = [];
    title.textContent = screen.title;
    const code = node("code", {}, model.get("participant"));
    if (screen.stage === "question") {
      question(buffers);
    } else if (screen.stage === "consent") {
      body.replaceChildren(...plainText(screen.text), node("p", {}, "Your code: ", code));
      foot.replaceChildren(button("I agree and want to begin", () => tell({ kind: "agree" }), true));
    } else if (screen.stage === "paused") {
      body.replaceChildren(node("p", {}, "Your answers are kept. To go on another time, keep your code: ", code));
      foot.replaceChildren(button("Go on", () => tell({ kind: "go on" }), true));
    } else {
      body.replaceChildren(node("p", {}, "All questions are answered. Your code: ", code));
      foot.replaceChildren();
    }
    if (before) root.focus({ preventScroll: true });
    progress();
  }
  // With the question it counts, not before it: keys would still be those of the last one.
  function progress() {
    const [done, total] = [model.get("answered"), model.get("total")];
    bar.max = total;
    bar.value = done;
    count.textContent = screen?.stage === "question" ? `${done + 1} of ${total}` : `${done} of ${total} answered`;
  }
  function complain() {
    alert.textContent = model.get("problem");
    waiting = false;
  }
  const hear = (message, buffers) => { if (message.kind === "screen") show(message.screen, buffers); };
  model.on("msg:custom", hear);
  model.on("change:problem", complain);
  complain();
  model.send({ kind: "want screen" });
  return () => {
    model.off("msg:custom", hear);
    model.off("change:problem", complain);
    for (const address of addresses) URL.revokeObjectURL(address);
    root.remove();
  };
}

export default { render };
