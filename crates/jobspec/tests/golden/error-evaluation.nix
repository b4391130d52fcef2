{
  job.web = {
    count = 1 + "x";
  };
}
