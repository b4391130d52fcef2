# floe, built from this tree.
{
  lib,
  rustPlatform,
  pkg-config,
  libseccomp,
  installShellFiles,
  stdenv,
  # The flake's checks of this package.
  tests ? { },
}:
let
  inherit (lib.importTOML ../Cargo.toml) workspace;
  emulates = stdenv.buildPlatform.canExecute stdenv.hostPlatform;
in
rustPlatform.buildRustPackage {
  pname = "floe";
  inherit (workspace.package) version;
  src = lib.cleanSource ../.;
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [
    pkg-config
    installShellFiles
  ];
  buildInputs = [ libseccomp ];
  cargoBuildFlags = [
    "--package"
    "floe"
    "--bin"
    "floe"
  ];
  # They make containers, networks and machines, which a builder may not: ./dev test runs them.
  doCheck = false;

  postInstall = ''
    ln -s floe $out/bin/nomad
  ''
  + lib.optionalString emulates ''
    installShellCompletion --cmd floe \
      --bash <($out/bin/floe completions bash) \
      --fish <($out/bin/floe completions fish) \
      --zsh <($out/bin/floe completions zsh)
    mkdir man
    $out/bin/floe man man
    installManPage man/*
  '';
  doInstallCheck = emulates;

  passthru = { inherit tests; };
  meta = {
    description = "A NixOS-native cluster appliance: runs services and batch jobs on your own machines";
    homepage = workspace.package.repository;
    license = [
      lib.licenses.asl20
      lib.licenses.mit
    ];
    mainProgram = "floe";
    platforms = lib.platforms.linux;
  };
}
