# What a client needs for jobs with GPUs. floe's client gives no devices to tasks yet, so whoever asks for them is told so.
{ config, lib, ... }:
let
  cfg = config.services.floe.client;
in
{
  options.services.floe.client.gpu.enable = lib.mkEnableOption "GPUs for tasks";
  config.assertions = [
    {
      assertion = !cfg.gpu.enable;
      message = "services.floe.client.gpu.enable: not supported yet: floe gives no devices to tasks; take it out, and give the machine a nodeClass by which jobs will find it";
    }
  ];
}
