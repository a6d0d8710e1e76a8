//! Steers a running test DC over a loopback socket, line by line.
