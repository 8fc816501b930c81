// How a face reaches a notebook widget, whatever the widget does with it.

/** Put binary attachments back where they belong. */
function joined(value, buffers) {
  if (Array.isArray(value)) return value.map((part) => joined(part, buffers));
  if (value === null || typeof value !== "object") return value;
  if ("buffer" in value) return buffers[value.buffer];
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, joined(part, buffers)]));
}

/**
 * One per widget. The face comes in a message, not in the widget's state, so that a notebook
 * saved with its widgets stays small. Until it comes, and without a kernel, there is a picture.
 */
function faceWidget(openFace) {
  let payload = null, arrived;
  const arrival = new Promise((resolve) => { arrived = resolve; });
  return {
    initialize({ model }) {
      model.on("msg:custom", (message, buffers) => {
        if (message.kind !== "mesh" || payload) return;
        payload = joined(message.mesh, buffers);
        arrived();
      });
    },
    render({ model, el }) {
      const still = make("img", { src: model.get("_still"), alt: model.get("title") || "face", style: "max-width:100%" });
      let close = () => still.remove(), gone = false;
      const open = () => { if (!gone) { still.remove(); close = openFace(model, el, payload); } };
      if (payload) {
        open();
      } else {
        el.append(still);
        model.send({ kind: "want mesh" });
        arrival.then(open);
      }
      return () => { gone = true; close(); };
    },
  };
}
