//! felhom-proxmox.
