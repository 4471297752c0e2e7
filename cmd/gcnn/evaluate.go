package main

import "github.com/urfave/cli/v2"
func evaluateCommand() *cli.Command { return &cli.Command{Name: "evaluate"} }
func predictCommand() *cli.Command { return &cli.Command{Name: "predict"} }
func dataCommand() *cli.Command { return &cli.Command{Name: "data"} }
