//! API methods: qemu.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
