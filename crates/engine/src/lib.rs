//! What a bake is: builders, provisioners, undo, journal and events.
