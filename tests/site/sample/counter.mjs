// An anywidget as its specification has it: made by a function, told of changes of its model.
export default async () => ({
  initialize({ model }) {
    model.set('count', model.get('count') + 1);
  },
  render({ model, el }) {
    const button = document.createElement('button');
    const tell = () => (button.textContent = `${model.get('name')}: ${model.get('count')}`);
    button.className = 'counter';
    button.onclick = () => {
      model.set('count', model.get('count') + 1);
      model.save_changes();
    };
    model.on('change:count', tell);
    tell();
    el.append(button);
  },
});
