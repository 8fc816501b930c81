// The part of the voice widget that is kept in a notebook's state; the rest comes with the faces.

/** What Python told about one widget, kept for views that are opened later. */
function memoryOf(model) {
  const memory = { start: null, open: null, utterances: new Map(), order: null, changed: new Set() };
  const settle = () => memory.changed.forEach((act) => act());
  model.on("msg:custom", async (message, buffers) => {
    const told = joined(message, buffers);
    if (told.kind === "start") {
      memory.start = told;
      if (memory.open) return;
      memory.open = (await viewer(told.code)).openVoiceToFace;
      if (memory.order) settle();
    } else if (told.kind === "utterance") {
      memory.utterances.set(told.utterance.name, told.utterance);
    } else if (told.kind === "order") {
      memory.order = told;
      for (const name of memory.utterances.keys()) if (!told.names.includes(name)) memory.utterances.delete(name);
      if (memory.open) settle();
      else if (!memory.start) model.send({ kind: "want everything" });
    }
  });
  return memory;
}

export default () => {
  let memory;
  return {
    initialize({ model }) { memory = memoryOf(model); },
    render({ model, el }) {
      const still = Object.assign(document.createElement("img"), { src: model.get("_still"), alt: "faces from voices" });
      still.style.maxWidth = "100%";
      let close = () => still.remove(), gone = false;
      const open = () => {
        if (gone) return;
        memory.changed.delete(open);
        still.remove();
        close = memory.open(model, el, memory);
      };
      if (memory.open && memory.order) open();
      else {
        if (model.get("_still")) el.append(still);
        memory.changed.add(open);
        model.send({ kind: "want everything" });
      }
      return () => { gone = true; memory.changed.delete(open); close(); };
    },
  };
};
