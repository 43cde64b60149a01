//! What may be done to a scratch guest, by proof only, and the way to its end.
//!
//! Destroyed is only what the journal says we made, what carries our mark for this very VMID, and what lies in the scratch
//! range, all re-read right before the call. Of a failed restore under a VMID that a command named, only what besides was
//! never started and was touched by no task but ours. Everything else is left alone and becomes a finding.

mod clean_up;
mod earlier;
mod release;
mod restored;
mod standing;
mod tenure;
mod told;

pub use clean_up::{CleanUp, CleanUpEnd};
pub use earlier::Earlier;
pub use standing::{Lease, Standing, scratch_standing};
pub use tenure::Tenure;
