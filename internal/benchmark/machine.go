package benchmark

import "runtime"

// Machine is where a run took place. What the system does not tell is empty.
type Machine struct {
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     uint64 `json:"memory_bytes"`
	System     string `json:"system"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"` // of the data
	Go         string `json:"go"`
	// Load is the average number of processes that wanted to run in the minute before: others who
	// share the machine.
	Load float64 `json:"load_before"`
}

// ThisMachine describes the machine for a run in a directory.
func ThisMachine(dir string) Machine {
	m := Machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version()}
	m.ask(dir)
	return m
}
