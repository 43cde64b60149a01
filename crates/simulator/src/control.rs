//! The `/_sim/` door.
