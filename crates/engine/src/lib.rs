//! felhom-engine.
