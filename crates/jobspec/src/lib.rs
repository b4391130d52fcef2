//! Job files in HCL2, JSON and Nix to the model, with positions in errors. Pure.
