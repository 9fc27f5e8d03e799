// MyST drops a figure's `:alt:` when the figure shows a notebook's output: keep it on the figure.
function keepAlt(node) {
  for (const child of node.children ?? []) {
    if (node.type === 'container' && child.type === 'image' && child.url?.startsWith('#'))
      node.alt = child.alt;
    keepAlt(child);
  }
}

export default {
  name: 'Keep alt text',
  transforms: [{ name: 'keep-alt', stage: 'document', plugin: () => keepAlt }],
};
