//! API methods: version.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
