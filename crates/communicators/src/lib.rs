//! How a bake talks to its instance: SSH.
