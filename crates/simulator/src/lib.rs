//! felhom-simulator.
