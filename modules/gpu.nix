# What a client needs for jobs with GPUs of NVIDIA: its tools write into /var/run/cdi what containers get to use them, and the agent reads that, and
# /etc/cdi, by itself. Other vendors' tools need nothing here: let them write there.
{ config, lib, ... }:
let
  cfg = config.services.floe.client;
  toolkit = config.hardware.nvidia-container-toolkit;
  hasDriver =
    config.hardware.nvidia.datacenter.enable
    || builtins.elem "nvidia" config.services.xserver.videoDrivers;
  # NixOS' own unit, which writes the file when the machine boots and when a GPU comes.
  generator = "nvidia-container-toolkit-cdi-generator.service";
in
{
  options.services.floe.client.gpu.enable =
    lib.mkEnableOption "NVIDIA's GPUs for tasks: a job asks for them with `device \"nvidia/gpu\"`. The driver is the machine's to choose";

  config = lib.mkIf cfg.gpu.enable {
    hardware.nvidia-container-toolkit.enable = true;
    # Wanted and not required: without a GPU, or when the generator is started again, the agent and its tasks go on.
    systemd.services.floe = {
      wants = [ generator ];
      after = [ generator ];
    };
    assertions = [
      {
        assertion = cfg.enable;
        message = "services.floe.client.gpu.enable: is for machines that run tasks: set services.floe.client.enable, or take it out";
      }
      {
        # Whoever tells NixOS' module that there is none on purpose has told this one, too.
        assertion = hasDriver || toolkit.suppressNvidiaDriverAssertion;
        message = "services.floe.client.gpu.enable: this machine has no driver for GPUs: set services.xserver.videoDrivers = [ \"nvidia\" ] (it needs no screen), or hardware.nvidia.datacenter.enable for GPUs with NVSwitch";
      }
    ];
  };
}
