//! API methods: storage.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
