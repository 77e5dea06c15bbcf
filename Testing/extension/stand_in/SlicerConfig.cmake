# Stands in for the package configuration of a built 3D Slicer.
#
# It does with a scripted module what Slicer and CTK do with it, and no more: files are copied into
# the build tree, compiled and installed. A file that is absent ends the build, as it does there.
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CPack.cmake")
set(Slicer_FOUND TRUE)
