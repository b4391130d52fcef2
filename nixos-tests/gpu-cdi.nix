# One machine with two GPUs that are none: what NVIDIA's generator would write is there, with devices that every machine has.
{ alone, ... }:
{
  machine =
    { lib, pkgs, ... }:
    let
      gpu = name: host: {
        inherit name;
        containerEdits.deviceNodes = [
          {
            path = "/dev/nvidia${name}";
            hostPath = host;
          }
        ];
      };
      null = gpu "0" "/dev/null";
      zero = gpu "1" "/dev/zero";
      specification = {
        cdiVersion = "0.5.0";
        kind = "nvidia.com/gpu";
        devices = [
          null
          zero
          {
            name = "all";
            containerEdits.deviceNodes = null.containerEdits.deviceNodes ++ zero.containerEdits.deviceNodes;
          }
        ];
        containerEdits = {
          env = [ "NVIDIA_VISIBLE_DEVICES=void" ];
          mounts = [
            {
              hostPath = "/etc/gpu";
              containerPath = "/run/opengl-driver";
              options = [
                "ro"
                "nosuid"
                "nodev"
                "bind"
              ];
            }
          ];
        };
      };
      # What a task sees of GPUs, in one line.
      busybox = lib.getExe pkgs.busybox;
      look = "echo saw $(${busybox} ls /dev | ${busybox} grep nvidia) $NVIDIA_VISIBLE_DEVICES $(${busybox} cat /run/opengl-driver/version)";
      job = name: count: resources: {
        job.${name} = {
          group.look = {
            inherit count;
            update.min_healthy_time = "1s";
            task.look = {
              driver = "exec";
              config = {
                command = busybox;
                args = [
                  "sh"
                  "-c"
                  "${look}; exec ${busybox} sleep 100000"
                ];
              };
              resources = {
                cpu = 50;
                memory = 32;
              }
              // resources;
            };
          };
        };
      };
    in
    {
      imports = [ alone.machine ];
      services.floe.client.gpu.enable = true;
      # There is no driver, and everybody has been told so.
      hardware.nvidia-container-toolkit.suppressNvidiaDriverAssertion = true;
      # In the place of NixOS' own, which asks the driver.
      systemd.services.nvidia-container-toolkit-cdi-generator = {
        description = lib.mkForce "Dummy of NVIDIA's generator";
        wantedBy = lib.mkForce [ "multi-user.target" ];
        serviceConfig = lib.mkForce {
          Type = "oneshot";
          RemainAfterExit = true;
          # It is removed when the unit stops.
          RuntimeDirectory = "cdi";
          ExecStart = "${busybox} cp /etc/gpu/cdi.json /run/cdi/nvidia-container-toolkit.json";
        };
      };
      environment.etc = {
        "gpu/cdi.json".text = builtins.toJSON specification;
        "gpu/version".text = "580";
        "jobs/train.json".text = builtins.toJSON (job "train" 2 { device."nvidia/gpu".count = 1; });
        "jobs/more.json".text = builtins.toJSON (job "more" 1 { device."nvidia/gpu".count = 1; });
        "jobs/none.json".text = builtins.toJSON (job "none" 1 { });
      };
    };
}
