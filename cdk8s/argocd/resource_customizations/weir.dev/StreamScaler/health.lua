-- Health of a StreamScaler, from what the controller says of it. Suspended: paused by its annotation.
local health = { status = "Progressing", message = "The controller has not looked at it yet" }

local annotations = obj.metadata.annotations
if annotations ~= nil and annotations["weir.dev/paused"] == "true" then
  health.status = "Suspended"
  health.message = "Paused: it watches and changes nothing"
  return health
end

local status = obj.status
if status == nil or status.observedGeneration == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "The controller has not looked at the new spec yet"
  return health
end

for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    health.message = condition.message
    if condition.status == "True" then
      health.status = "Healthy"
    elseif condition.status == "False" then
      health.status = "Degraded"
    end
    return health
  end
end
return health
