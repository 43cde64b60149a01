//! felhom-ids.
