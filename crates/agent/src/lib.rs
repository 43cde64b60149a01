//! felhom-agent.
