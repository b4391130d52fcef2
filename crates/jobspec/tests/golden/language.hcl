variables {
  image    = "registry.example/web"
  replicas = 2
}

variable "ports" {
  type = map(object({ to = number, static = optional(number) }))
  default = {
    http  = { to = "8080" }
    admin = { to = 9090, static = 19090 }
  }
}

variable "flags" {
  type    = list(string)
  default = ["a", 2, true]
}

locals {
  name  = "web-${local.tier}"
  tier  = upper("blue")
  even  = [for n in range(6) : n * 10 if n % 2 == 0]
  byLen = { for w in ["a", "bb", "cc"] : strlen(w) => w... }
}

job "web" {
  name = local.name
  meta {
    image  = "${var.image}:1.2"
    sum    = 1 + 2 * 3 - -1
    ratio  = 7 / 2
    joined = join(",", var.flags)
    even   = jsonencode(local.even)
    grouped = jsonencode(local.byLen)
    cond   = var.replicas > 1 && !false ? "many" : "one"
    splat  = jsonencode(values(var.ports)[*].to)
    safe   = try(var.ports.none.to, "none")
    can    = can(var.ports.http)
    conv   = jsonencode(convert(["1", "2"], list(number)))
    esc    = "$${not.ours} %%{if} \"quoted\" \u00e9\n"
    strip  = "a ${~ "b" ~} c"
    lines  = <<-EOT
      one
        ${local.tier} ${node.unique.name}
      %{ for k, v in { x = 1, y = 2 } ~}
      ${k}=${v};
      %{ endfor ~}
      %{ if var.replicas == 2 }two%{ else }other%{ endif }
      EOT
    file   = trimspace(file("motd.txt"))
    files  = jsonencode(fileset(".", "**/*.conf"))
    exists = fileexists("none")
  }

  dynamic "group" {
    for_each = { red = 1, green = 3 }
    labels   = ["g-${group.key}"]
    content {
      count = group.value
      network {
        dynamic "port" {
          for_each = var.ports
          iterator = p
          labels   = [p.key]
          content {
            to     = p.value.to
            static = p.value.static
          }
        }
      }
      task "t" {
        driver = "exec"
        config {
          command = "${NOMAD_TASK_DIR}/run"
          args    = ["${attr.cpu.arch}", "${env["HOME"]}", "${meta.rack}", "${ device.ids }", "${secret.db.password}", "${JOB}", attr.unique.hostname]
          nested "label" {
            a = 1
          }
          plain { b = [null, 1.5] }
          plain { b = false }
        }
        env = { "A.B" = 1, C = "${NOMAD_PORT_http}" }
      }
    }
  }
}
