locals {
  a = 1
}

job "web" {
  meta {
    a = "${lcoal.a} ${locals.a} ${local.a}"
    b = "${BASE}-${NOMAD_TASK_NAME}-${vault.x}"
  }
}
