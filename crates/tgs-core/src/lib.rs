//! tgs-core
