$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
function Decode($text) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($text)) }
function Encode($text) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)) }
function Hex($hash) { [BitConverter]::ToString($hash.Hash).Replace('-', '') }
function Complain($record) { [Console]::Error.WriteLine($record.Exception.GetBaseException().Message) }
function Expand($path) {
  $path = [regex]::Replace($path.Replace('/', '\'), '\$env:(\w+)', '%$1%', 'IgnoreCase')
  [Environment]::ExpandEnvironmentVariables($path)
}
function Resolve($path) { [IO.Path]::GetFullPath((Expand $path)) }
