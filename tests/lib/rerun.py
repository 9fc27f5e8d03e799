"""A run of a changed copy of `lib`, in a process of its own: see test_changed_code."""

import sys


def rerun(home, folder, answers):
    """Train with the `lib` of `home`, checkpoints in `folder`; answer with what came of it."""
    sys.dont_write_bytecode = True  # a changed line can be as long as the old one, and as old
    sys.path.insert(0, str(home))
    for name in [name for name in sys.modules if name.split(".")[0] == "lib"]:
        del sys.modules[name]  # another test's processes may have brought the real one
    import torch

    from lib.config import load_step
    from lib.data import load_titles
    from lib.train import train

    torch.set_num_threads(1)
    config = load_step("02_adamw", "smoke").change(
        num_titles=400, vocab_size=300, n_embd=32, n_layer=1, epochs=1, evals_per_epoch=1
    )
    try:
        run = train(config, load_titles(config, "synthetic"), folder=folder, quiet=True)
        answers.put(f"resumed after {run.resumed}")
    except ValueError as error:
        answers.put(str(error))
