"""What every process uses: clock, tasks, logs, fail points, the build, descriptor limits."""
