"""Tests of what `pristine doctor` looks at."""
