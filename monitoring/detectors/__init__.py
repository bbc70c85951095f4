"""Tests for a change of a signal's mean, one a file, all behind `detector.Detector`; `registry` has them by name."""
