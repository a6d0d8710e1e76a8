//! tgs-e2e
