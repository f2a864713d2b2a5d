// Builds the interpreter of Argo CD's health checks in Lua: the same modules, in the versions that Argo CD v3.2 requires.
module weir.dev/lua

go 1.24.0

require (
	github.com/yuin/gopher-lua v1.1.1
	layeh.com/gopher-json v0.0.0-20190114024228-97fed8db8427
)
