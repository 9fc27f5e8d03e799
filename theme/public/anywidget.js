// A page with an anywidget loads this: each gets its module, which draws it. https://anywidget.dev/en/afm
for (const el of document.querySelectorAll('.anywidget:not([data-drawn])')) draw(el);

async function draw(el) {
  el.dataset.drawn = '';
  const { esm, css, model: state } = el.dataset,
    values = JSON.parse(state),
    heard = new Map();
  const model = {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      (heard.get(`change:${name}`) ?? []).forEach((hear) => hear());
    },
    on: (event, hear) => heard.set(event, [...(heard.get(event) ?? []), hear]),
    off: (event, hear) =>
      heard.set(
        event,
        (heard.get(event) ?? []).filter((one) => hear && one !== hear),
      ),
    save_changes() {}, // nobody else has this model
  };
  if (css)
    document.head.append(
      Object.assign(document.createElement('link'), { rel: 'stylesheet', href: css }),
    );
  try {
    let widget = (await import(esm)).default;
    if (typeof widget === 'function') widget = await widget();
    await widget.initialize?.({ model });
    await widget.render({ model, el });
  } catch (error) {
    el.textContent = `What belongs here could not be loaded: ${error.message}`;
    throw error;
  }
}
