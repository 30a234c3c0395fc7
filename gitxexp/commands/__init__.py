"""One module per verb: declare options, call the domain once, render."""
