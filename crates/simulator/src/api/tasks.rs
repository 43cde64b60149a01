//! API methods: tasks.

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[];
