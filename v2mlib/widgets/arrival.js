// How a face reaches a notebook widget, whatever the widget does with it.

const DETACHED = "The kernel was restarted: this face still turns, but Python does not hear it. Run its cell again.";

/** Put binary attachments back where they belong. */
function joined(value, buffers) {
  if (Array.isArray(value)) return value.map((part) => joined(part, buffers));
  if (value === null || typeof value !== "object") return value;
  if ("buffer" in value) return buffers[value.buffer];
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, joined(part, buffers)]));
}

/** The viewer, which comes with the face: once per page, however many widgets bring it. */
function viewer(code) {
  const key = Symbol.for("v2mlib.code.1");
  const known = globalThis[key] ??= new Map();
  if (!known.has(code)) {
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const opened = import(address).finally(() => URL.revokeObjectURL(address));
    opened.catch(() => known.delete(code));  // the next that brings it tries again
    known.set(code, opened);
  }
  return known.get(code);
}

/**
 * One per widget. The face and the viewer's code come in a message, not in the widget's state,
 * so that a notebook saved with its widgets stays small. Until they come, and without a kernel,
 * there is a picture; when the kernel goes, a line says so.
 */
function faceWidget(openFace) {
  let payload = null, detached = false, arrived;
  const arrival = new Promise((resolve) => { arrived = resolve; });
  const notices = new Set();
  return {
    initialize({ model }) {
      model.on("msg:custom", async (message, buffers) => {
        if (message.kind === "scalars" && payload) payload.values = buffers[0];
        if (message.kind === "modes" && payload) Object.assign(payload, joined(message.modes, buffers));
        if (message.kind !== "mesh") return;
        payload ??= joined(message.mesh, buffers);
        const code = message.code ? await viewer(message.code) : {};
        openFace ??= code.openFace;
        code.unpackFace?.(payload);  // while Python is busy with the picture for the notebook
        arrived();
      });
      // Jupyter's own event for a widget whose kernel is gone.
      model.on("comm_live_update", () => {
        detached = true;
        for (const notice of notices) notice.hidden = false;
      });
    },
    render({ model, el }) {
      const still = Object.assign(document.createElement("img"),
        { src: model.get("_still"), alt: model.get("title") || "face" });
      still.style.maxWidth = "100%";
      const notice = Object.assign(document.createElement("p"),
        { className: "v2m-notice", textContent: DETACHED, hidden: !detached });
      notice.setAttribute("role", "status");
      const place = document.createElement("div");
      el.append(place, notice);
      notices.add(notice);
      let close = () => {}, gone = false;
      const open = () => { if (!gone) { still.remove(); close = openFace(model, place, payload); } };
      if (payload && openFace) {
        open();
      } else {
        place.append(still);
        if (!payload) model.send({ kind: "want mesh" });
        arrival.then(open);
      }
      return () => { gone = true; notices.delete(notice); close(); place.remove(); notice.remove(); };
    },
  };
}
